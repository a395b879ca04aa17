#!/bin/sh
# Replays recorded traffic under the configs of bench/replay, beside what users have today. The traces are not part of this repository:
# TRACES names their folder (see docs/replay.md for where each comes from).
set -eu
weir=${1:?usage: bench-replay.sh WEIR}
traces=${TRACES:-../shared/traces}
out=bench/out/replay
[ -d "$traces" ] || { echo "bench-replay: there are no traces in $traces; set TRACES=FOLDER" >&2; exit 1; }
mkdir -p "$out"
run() { # name, config, trace, more
	name=$1 config=$2 trace=$3
	shift 3
	printf '\n## %s\n\n' "$name"
	"$weir" replay -c "bench/replay/$config.yaml" --trace "$traces/$trace" --boot "$traces/gentd26_model_load.csv.gz" \
		--against "${AGAINST:-static,hpa-cpu,keda-queue,knative,asg-target,clairvoyant,oracle}" --json "$out/$name.json" --html "$out/$name.html" "$@" 2>"$out/$name.log" ||
		{ cat "$out/$name.log" >&2; exit 1; }
}
run images images gentd26_image_requests.csv.gz
run images-with-models models gentd26_image_requests.csv.gz
run images-to-spare images-spare gentd26_image_requests.csv.gz
run images-with-models-to-spare models-spare gentd26_image_requests.csv.gz
spot="$traces/spot/availability16_aws_2023-08_us-west-2"
run images-on-spot spot gentd26_image_requests.csv.gz --spot "a=${spot}a_v100.json,b=${spot}c_v100.json"
run chat chat azure_llm_conv_2023.csv.gz
run chat-mooncake chat mooncake_conversation.jsonl.gz
run chat-mooncake-prefixes prefixes mooncake_conversation.jsonl.gz
run pages pages worldcup98_to_june.csv.gz --from 1998-06-01 --to 1998-06-08 --service 200ms
