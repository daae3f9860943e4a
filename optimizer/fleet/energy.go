package fleet

import "github.com/llm-inferno/inferno/optimizer/api/jsonspec"

// Watts that an accelerator draws at a utilisation from 0 to 1: Idle at no load, MidPower at the utilisation MidUtil, Full at 1, linear in between.
// Outside, it is the nearest end's. NaN gives NaN.
func Watts(p jsonspec.PowerCurve, utilisation float64) float64 {
	u := min(1, max(0, utilisation))
	if u < p.MidUtil {
		return p.Idle + (p.MidPower-p.Idle)*u/p.MidUtil
	}
	if p.MidUtil >= 1 {
		return p.Full
	}
	return p.MidPower + (p.Full-p.MidPower)*(u-p.MidUtil)/(1-p.MidUtil)
}

// EnergyCost of so many watts in cents per hour, at a price in cents per kilowatt-hour.
func EnergyCost(watts, centsPerKWh float64) float64 {
	return jsonspec.Kilowatts(watts) * centsPerKWh
}
