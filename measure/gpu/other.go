//go:build !linux || !cgo

package gpu

// Open finds NVIDIA's driver, or returns ErrNone. This build has no C, so it asks nvidia-smi.
func Open() (Reader, error) { return openCommand() }
