package infer

import (
	"io"
	"net"
	"net/http"
	"time"
)

// local lets only callers on this machine, and none that came through a proxy or from a web page, reach what changes
// how the server behaves.
func (s *Server) local(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.RemoteAddr)
		ip := net.ParseIP(host)
		direct := err == nil && ip != nil && ip.IsLoopback()
		for _, h := range []string{"Forwarded", "X-Forwarded-For", "Via", "Origin"} {
			direct = direct && r.Header.Get(h) == ""
		}
		if !direct {
			e := &apiError{
				status: http.StatusForbidden, kind: "permission_error", code: "not_local",
				message: r.URL.Path + " answers only direct requests from this machine; call it on the server's own address",
			}
			e.write(w)
			return
		}
		next(w, r)
	}
}

func (s *Server) showFault(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, s.faults.get())
}

// setFault answers POST /fault: what it names is added to the fault in force.
func (s *Server) setFault(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err != nil {
		invalid("", "reading the fault: %v", err).write(w)
		return
	}
	f, err := decodeFault(s.faults.get(), body, r.URL.Query())
	if err != nil {
		invalid("", "%v", err).write(w)
		return
	}
	if err := s.applyFault(f); err != nil {
		err.write(w)
		return
	}
	writeJSON(w, http.StatusOK, s.faults.get())
}

// applyFault puts a fault in force.
func (s *Server) applyFault(f fault) *apiError {
	port := s.port.Load()
	if f.Refuse == refuseClose && port == nil {
		return invalid("refuse", "this server did not open its own port and cannot close it; use refuse 503")
	}
	s.faults.replace(f, s.faultsCleared)
	s.log.Warn("fault set", "fault", f)
	if port != nil {
		port.set(f.Refuse == refuseClose)
	}
	if f.Reload {
		s.load(nil)
	}
	return nil
}

func (s *Server) clearFault(w http.ResponseWriter, _ *http.Request) {
	s.faults.replace(fault{}, nil)
	s.faultsCleared()
	writeJSON(w, http.StatusOK, fault{})
}

func (s *Server) faultsCleared() {
	if port := s.port.Load(); port != nil {
		port.set(false)
	}
	s.log.Info("faults cleared")
}

// handleLoad answers POST /load: the models are loaded again, in ?time= when that is given.
func (s *Server) handleLoad(w http.ResponseWriter, r *http.Request) {
	var given *time.Duration
	if text := r.URL.Query().Get("time"); text != "" {
		var d span
		if err := d.UnmarshalText([]byte(text)); err != nil {
			invalid("time", "time: %v", err).write(w)
			return
		}
		given = (*time.Duration)(&d)
	}
	s.load(given)
	writeJSON(w, http.StatusAccepted, s.readiness())
}

// handleUnload answers POST /unload: the models are dropped until POST /load.
func (s *Server) handleUnload(w http.ResponseWriter, _ *http.Request) {
	s.unload()
	writeJSON(w, http.StatusOK, s.readiness())
}
