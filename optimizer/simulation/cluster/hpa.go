package cluster

import "math"

// HPA is the control law of Kubernetes' HorizontalPodAutoscaler (autoscaling/v2). Source: the documentation at
// kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale.
type HPA struct {
	// Tolerance within which the ratio of metric to target changes nothing; Kubernetes' default is 0.1.
	Tolerance float64
	// UpPods and UpPercent are what may be added per Period, whichever is more; the default is 4 and 100.
	UpPods, UpPercent float64
	// DownPercent is what may be removed per Period; the default is 100.
	DownPercent float64
	// Period of the policies in seconds; the default is 15.
	Period float64
	// UpStabilisation and DownStabilisation are how long the lowest, or highest, recommendation counts; the defaults are 0 and 300 s.
	UpStabilisation, DownStabilisation float64
	// Min and Max replicas; 0 as Max is no bound.
	Min, Max int

	recommended []recommendation
	changes     []recommendation // of the replicas, by how many
}

type recommendation struct {
	at       float64
	replicas int
}

// DefaultHPA is the law with the defaults of Kubernetes.
func DefaultHPA() HPA {
	return HPA{Tolerance: 0.1, UpPods: 4, UpPercent: 100, DownPercent: 100, Period: 15, DownStabilisation: 300, Min: 1}
}

// Average recommends replicas for a metric of type Pods: the mean over ready pods is held at the target. Pods that are not ready yet count as
// idle where that damps a rise.
func (h *HPA) Average(values []float64, target float64, replicas, unready int) int {
	if len(values) == 0 {
		return replicas
	}
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	ratio := sum / float64(len(values)) / target
	if math.Abs(ratio-1) <= h.Tolerance {
		return replicas
	}
	if unready == 0 || ratio <= 1 {
		return int(math.Ceil(ratio * float64(len(values))))
	}
	all := float64(len(values) + unready)
	damped := sum / all / target
	if math.Abs(damped-1) <= h.Tolerance || damped < 1 {
		return replicas
	}
	return max(int(math.Ceil(damped*all)), replicas)
}

// Total recommends replicas for an external metric with an average value: the total over all replicas is to be the target times their number.
func (h *HPA) Total(value, target float64, replicas int) int {
	if replicas > 0 && math.Abs(value/(target*float64(replicas))-1) <= h.Tolerance {
		return replicas
	}
	return int(math.Ceil(value / target))
}

// Sync turns a recommendation into replicas: stabilised, limited in its rate of change, and bounded.
func (h *HPA) Sync(now float64, replicas, recommended int) int {
	h.recommended = append(h.recommended, recommendation{now, recommended})
	low, high := recommended, recommended
	kept := h.recommended[:0]
	for _, r := range h.recommended {
		if now-r.at < h.UpStabilisation {
			low = min(low, r.replicas)
		}
		if now-r.at < h.DownStabilisation {
			high = max(high, r.replicas)
		}
		if now-r.at < max(h.UpStabilisation, h.DownStabilisation) {
			kept = append(kept, r)
		}
	}
	h.recommended = kept
	desired := min(max(replicas, low), high)
	desired = h.limited(now, replicas, desired)
	desired = max(desired, h.Min)
	if h.Max > 0 {
		desired = min(desired, h.Max)
	}
	if desired != replicas {
		h.changes = append(h.changes, recommendation{now, desired - replicas})
	}
	return desired
}

// limited applies the policies to what changed within the period.
func (h *HPA) limited(now float64, replicas, desired int) int {
	added, removed := 0, 0
	kept := h.changes[:0]
	for _, c := range h.changes {
		if now-c.at < h.Period {
			kept = append(kept, c)
			added += max(c.replicas, 0)
			removed += max(-c.replicas, 0)
		}
	}
	h.changes = kept
	if desired > replicas {
		before := float64(replicas - added)
		return min(desired, int(max(before+h.UpPods, math.Ceil(before*(1+h.UpPercent/100)))))
	}
	before := float64(replicas + removed)
	return max(desired, int(math.Ceil(before*(1-h.DownPercent/100))))
}
