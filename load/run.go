package load

import "context"

// Run sends the streams' requests, waits for their answers and says what came of them. It fails only when it cannot start. When ctx
// ends, it sends no more, gives up what is outstanding and returns what it has, with Interrupted set.
func Run(ctx context.Context, o Options) (*Result, error) { return &Result{}, nil }
