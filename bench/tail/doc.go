// Command tail measures how long requests wait for a slot behind Weir, nginx and HAProxy, and behind the ideal: one queue in front of all targets,
// computed for the same arrivals and the same service times. README.md in the folder above says how to read it.
package main
