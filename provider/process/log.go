package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/weirlb/weir/fleet"
)

// An instance writes straight into its log file, so that it lives on without Weir and nothing stands between it and the
// disk. The price is that a file is rotated by copying it and truncating it (as logrotate's copytruncate does): what the instance
// writes in the instant between the two is lost. It appends, so it goes on at the start of the emptied file.

func openLog(path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, fmt.Errorf("creating the folder of the log: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return nil, fmt.Errorf("opening the log: %w", err)
	}
	return f, nil
}

// defaultLog bounds the log of an adopted instance, whose template is not known here.
var defaultLog = fleet.Log{MaxSize: 10 << 20, Keep: 3}

// watchLog rotates the log of the instance until it ends.
func (h *handle) watchLog() {
	keep := h.keep
	if keep.MaxSize == 0 {
		keep = defaultLog
	}
	go func() {
		t := time.NewTicker(time.Second)
		defer t.Stop()
		for {
			select {
			case <-h.done:
				return
			case <-t.C:
			}
			if st, err := os.Stat(h.log); err != nil || st.Size() < int64(keep.MaxSize) {
				continue
			}
			if err := rotate(h.log, keep.Keep); err != nil {
				h.p.o.Log.Warn("a log could not be rotated", "file", h.log, "error", err)
			}
		}
	}()
}

// rotate moves path.1 to path.2 and so on, copies path to path.1 and empties it. keep older files are kept.
func rotate(path string, keep int) error {
	if keep > 0 {
		for i := keep - 1; i >= 1; i-- {
			if err := os.Rename(path+"."+strconv.Itoa(i), path+"."+strconv.Itoa(i+1)); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
		if err := copyFile(path, path+".1"); err != nil {
			return err
		}
	}
	return os.Truncate(path, 0)
}

func copyFile(from, to string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	return errors.Join(err, dst.Close())
}

// Tail writes the last lines of a log to w and, with follow, what is added until ctx ends; it follows a rotation.
func Tail(ctx context.Context, path string, lines int, follow bool, w io.Writer) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("reading the log: %w", err)
	}
	defer f.Close()
	from, err := lastLines(f, lines)
	if err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	for {
		if _, err := f.Seek(from, io.SeekStart); err != nil {
			return err
		}
		n, err := io.Copy(w, f)
		from += n
		if err != nil || !follow {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(200 * time.Millisecond):
		}
		if st, err := f.Stat(); err == nil && st.Size() < from {
			from = 0 // it was emptied
		}
	}
}

// lastLines returns the offset at which the last n lines begin.
func lastLines(f *os.File, n int) (int64, error) {
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil || n <= 0 {
		return end, err
	}
	buf := make([]byte, 16<<10)
	at, seen := end, -1 // the newline at the very end does not begin a line
	for at > 0 {
		k := min(int64(len(buf)), at)
		at -= k
		if _, err := f.ReadAt(buf[:k], at); err != nil {
			return 0, err
		}
		if at+k == end && buf[k-1] != '\n' {
			seen = 0
		}
		for b := buf[:k]; ; {
			i := bytes.LastIndexByte(b, '\n')
			if i < 0 {
				break
			}
			if seen++; seen == n {
				return at + int64(i) + 1, nil
			}
			b = b[:i]
		}
	}
	return 0, nil
}
