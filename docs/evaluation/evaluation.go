// Package evaluation holds the results of make evaluate and their pictures, for the console.
package evaluation

import "embed"

// Results are results.json, and the pictures of each scenario.
//
//go:embed results.json *.svg
var Results embed.FS
