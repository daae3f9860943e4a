package control

import "github.com/llm-inferno/inferno/optimizer/solver"

// Settings are what stages are run with beside their implementations: what a record must hold for a decision to be made again.
type Settings struct {
	// Horizon, StartUp and Window in seconds; see [Stages], as for the others.
	Horizon    float64 `json:"horizonSeconds,omitempty"`
	StartUp    float64 `json:"startUpSeconds,omitempty"`
	Window     float64 `json:"windowSeconds,omitempty"`
	Probing    bool    `json:"probing,omitempty"`
	ProbeEvery float64 `json:"probeEverySeconds,omitempty"`
	Confidence float64 `json:"confidence,omitempty"`
}

// Settings of the stages.
func (st *Stages) Settings() Settings {
	return Settings{Horizon: st.Horizon, StartUp: st.StartUp, Window: st.Window, Probing: st.Probing, ProbeEvery: st.ProbeEvery, Confidence: st.Confidence}
}

// Apply the settings to stages.
func (s Settings) Apply(st *Stages) {
	st.Horizon, st.StartUp, st.Window, st.Probing, st.ProbeEvery, st.Confidence = s.Horizon, s.StartUp, s.Window, s.Probing, s.ProbeEvery, s.Confidence
}

// StopAt is the work after which a deadline ended the solver, for [Stages.StopAt] to make the decision again; 0 where none did.
func (d *Decision) StopAt() int64 {
	if d.Plan.Solver.Ended != string(solver.EndedDeadline) {
		return 0
	}
	return d.Plan.Solver.Work
}
