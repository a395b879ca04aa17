package admin

import (
	"fmt"
	"net/http"
)

// getRecord answers all that the decision which was in force at a time was made from, so that it can be made again.
func (s *Server) getRecord(w http.ResponseWriter, r *http.Request) {
	pool := r.FormValue("pool")
	if pool == "" || !s.hasPool(pool) {
		refuse(w, http.StatusNotFound, "not_found", s.noPool(pool))
		return
	}
	at, err := timeOf("at", r.FormValue("at"))
	if err != nil {
		refuse(w, http.StatusBadRequest, "time", err.Error())
		return
	}
	var record any
	if s.o.Record != nil {
		if record, err = s.o.Record(pool, at); err != nil {
			s.fail(w, err)
			return
		}
	}
	if record == nil {
		refuse(w, http.StatusNotFound, "not_found", fmt.Sprintf("no decision that changed the capacity of pool %s is recorded up to then; the newest 500 are kept", quoted(pool)))
		return
	}
	answer(w, record)
}
