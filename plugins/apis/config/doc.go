// Package config holds the arguments of the scheduler plugin: here as the plugin uses them, with every default filled in; in v1 as people
// write them. Package scheme turns the one into the other, package validation finds the faults.
package config
