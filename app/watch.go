package app

import (
	"context"
	"crypto/sha256"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/weirlb/weir/config"
)

// stamp is what files hold, to see whether they have changed.
type stamp [sha256.Size]byte

// stampOf is the stamp of some files.
func stampOf(files ...string) (s stamp) {
	h := sha256.New()
	for _, file := range files {
		b, err := os.ReadFile(file)
		sum := sha256.Sum256(b)
		h.Write([]byte(file))
		if err != nil {
			h.Write([]byte{1})
		}
		h.Write(sum[:])
	}
	h.Sum(s[:0])
	return s
}

// with is the stamp of a config file, whose own is s, and of the files that the config in it names. Each is to be taken before what it is
// taken of is read: what changes in between is read once more then, and not overlooked.
func (s stamp) with(c *config.Config) stamp {
	named := stampOf(filesOf(c)...)
	return sha256.Sum256(append(s[:], named[:]...))
}

// filesOf are the files that a config names.
func filesOf(c *config.Config) (files []string) {
	for _, name := range slices.Sorted(maps.Keys(c.Pools)) {
		if t := c.Pools[name].TLS; t != nil {
			files = append(files, t.CA...)
			if t.Cert != "" {
				files = append(files, t.Cert, t.Key)
			}
		}
	}
	for _, l := range c.Listen {
		if l.TLS == nil {
			continue
		}
		for _, x := range l.TLS.Certificates {
			files = append(files, x.Cert, x.Key)
		}
		if x := l.TLS.ClientAuth; x != nil {
			files = append(files, x.CA...)
			files = append(files, x.CRL...)
		}
	}
	return files
}

const (
	settleFor = 100 * time.Millisecond // without another event before files are read: editors write in several steps
	lookAgain = 10 * time.Second       // even without an event: file systems of networks send none
)

// watch begins or ends the watch of the file, as the config says. a.changing is held, or nobody else is there yet.
func (a *App) watch(c *config.Config) {
	if on := c.Watch && a.o.Config != ""; on == (a.watching != nil) {
		return
	} else if !on {
		a.unwatch()
		return
	}
	var ctx context.Context
	ctx, a.watching = context.WithCancel(a.ctx)
	a.loops.Go(func() { a.watchFiles(ctx) })
}

func (a *App) unwatch() {
	if a.watching != nil {
		a.watching()
		a.watching = nil
	}
}

// watchFiles reloads when the config file, or one that it names, has other contents. It watches directories: a file that is replaced by
// another of its name, or by way of a link as in a volume of Kubernetes, is seen too.
func (a *App) watchFiles(ctx context.Context) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		a.log.Warn("watch: the system tells of no changes; Weir looks every 10 s itself", "error", err)
		w = &fsnotify.Watcher{} // whose channels never say anything
	} else {
		defer w.Close()
	}
	settled := time.NewTimer(0) // once at the beginning: it may have changed since it was read
	defer settled.Stop()
	again := time.NewTicker(lookAgain)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.Events:
			settled.Reset(settleFor)
			continue
		case err := <-w.Errors:
			a.log.Debug("watch", "error", err) // an overflow; looking again makes up for it
			continue
		case <-settled.C:
		case <-again.C:
		}
		c := a.look(ctx)
		for _, dir := range dirsOf(append(filesOf(c), a.o.Config)) {
			if err == nil && !slices.Contains(w.WatchList(), dir) {
				w.Add(dir) // one that is not there is told of when the file is read
			}
		}
	}
}

// look reloads if files have changed, and returns the config that is in force. A mistake is told of once.
func (a *App) look(ctx context.Context) *config.Config {
	a.changing.Lock()
	defer a.changing.Unlock()
	if ctx.Err() != nil || stampOf(a.o.Config).with(a.cfg) == a.loaded {
		return a.cfg
	}
	a.log.Info("watch: the file has changed", "file", a.o.Config)
	if err := a.reload(); err != nil {
		a.log.Error("nothing was changed: the config could not be loaded", "error", err)
	}
	return a.cfg
}

// dirsOf are the directories whose changes can change what is read under the names of files: those of the names, and those that links
// lead to.
func dirsOf(files []string) []string {
	var dirs []string
	add := func(file string) {
		if dir := filepath.Dir(file); !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	for _, file := range files {
		add(file)
		if to, err := filepath.EvalSymlinks(file); err == nil {
			add(to)
		}
	}
	return dirs
}
