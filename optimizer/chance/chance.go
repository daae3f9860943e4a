// Package chance tells what is more than chance. Whoever asks brings a difference and its standard error: the significance is one for all.
package chance

// significance is by how many standard errors a difference must exceed chance: of a normal distribution one in 370 lies further out on either side,
// so that a server that is asked twice a minute is misjudged a few times an hour, for a cycle.
const significance = 3

// Exceeded tells whether a difference is more than chance. What is not a number is none.
func Exceeded(difference, standardError float64) bool {
	return difference > significance*standardError || -difference > significance*standardError
}
