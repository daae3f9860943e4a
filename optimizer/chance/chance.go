// Package chance tells what is more than chance. Whoever asks brings a difference and its standard error: the significance is one for all.
package chance

// significance is by how many standard errors a difference must exceed chance: of a normal distribution one in 370 lies further out on either side,
// so that a server that is asked twice a minute is misjudged a few times an hour, for a cycle.
//
// Tuned: standard errors; measured by the scenarios ramp and short;
// at half: 99.8 % of ramp at 3.7 % more cost, but 96.6 % of short, after 99.6; at twice: 97.5 % of ramp, after 99.4
const significance = 3

// Exceeded tells whether a difference is more than chance. What is not a number is none.
func Exceeded(difference, standardError float64) bool {
	return difference > significance*standardError || -difference > significance*standardError
}
