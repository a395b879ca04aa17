// Package infer is a small inference server that is honest about what it does. It generates images with a real
// diffusion sampler, chats with a character model trained when it starts, and predicts with a small network, over
// the HTTP interfaces that clients of such servers know. It is what Weir's demo, tests and benchmarks balance.
//
// It has two devices. The cpu device computes every step on the processor. The emulated device gives each step,
// token and prediction a set time on one device timeline, as a GPU does seen from its host, and uses next to no
// processor while it waits; it says so in its name, its log, its metrics and on every answer.
//
// A fault API makes it fail the way real engines fail: die, stall while it says it is alive, lie in its gauges,
// refuse, reset, load slowly. See docs/infer.md for the guide.
package infer
