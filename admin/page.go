package admin

import (
	"bytes"
	"io/fs"
	"net/http"
	"path"
	"time"
)

// The page may load and ask nothing but Weir itself, whatever text an instance or a log brings into it. uPlot sets sizes on its own
// elements through the object model, which a policy on styles does not concern.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// kinds are the files of the page, by their ending. The machine's own table is not asked: it may say anything, and a browser
// refuses a script that is called something else.
var kinds = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

// servePage serves the dashboard's files, and for any other path says what there is.
func servePage(files fs.FS) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := path.Clean(r.URL.Path)[1:]
		if name == "" {
			name = "index.html"
		}
		kind, ok := kinds[path.Ext(name)]
		b, err := fs.ReadFile(files, name)
		if err != nil || !ok {
			refuse(w, http.StatusNotFound, "not_found", "there is nothing at "+quoted(r.URL.Path)+"; the dashboard is at /, the API under /v1/, the metrics at /metrics")
			return
		}
		h := w.Header()
		h.Set("Content-Type", kind)
		h.Set("Content-Security-Policy", pagePolicy)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
	})
}
