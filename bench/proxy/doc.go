// Command proxy measures Weir side by side with nginx, HAProxy and a blind TCP tunnel
// on this machine, and prints what each one's processes spend per request, per
// event and per held request. README.md in the folder above says how to read it.
package main
