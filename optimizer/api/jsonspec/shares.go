package jsonspec

// ShareBounds are what the servers of a share may take together, and what others leave to them. What a share is guaranteed and does not need is lent, and
// taken back when it does, from servers of the lowest priority first.
type ShareBounds struct {
	// Name of the share.
	Name string `json:"name"`
	// Cards by type. Of types that are not named nothing is guaranteed, unless a cost is, and there is no bound.
	Cards []ShareCards `json:"cards,omitempty"`
	// Cost of all that the share has, beside the bounds on cards.
	Cost *ShareCost `json:"cost,omitempty"`
	// PowerCap in watts on what all accelerators that the share has draw at full. Absent: none.
	PowerCap *float64 `json:"powerCap,omitempty"`
}

// ShareCards are bounds on cards of one type.
// +kubebuilder:validation:XValidation:rule="!has(self.most) || !has(self.guaranteed) || self.guaranteed <= self.most",message="guaranteed must be at most most"
// +kubebuilder:validation:XValidation:rule="!has(self.kept) || has(self.guaranteed) && self.kept <= self.guaranteed",message="kept must be at most guaranteed"
type ShareCards struct {
	// Type of card, as capacity counts it: an Accelerator's type, or its name where it has none.
	// +kubebuilder:validation:MinLength=1
	Type string `json:"type"`
	// Guaranteed is the number of cards that others leave to the share where it needs them.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000
	// +optional
	Guaranteed int `json:"guaranteed,omitempty"`
	// Kept is how many of those are never lent.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000
	// +optional
	Kept int `json:"kept,omitempty"`
	// Most is the largest number of cards. Absent: no bound.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000
	// +optional
	Most *int `json:"most,omitempty"`
}

// ShareCost are bounds on the cost, in cents per hour.
type ShareCost struct {
	// Guaranteed is the cost up to which others leave to the share the cards that it needs. Absent: none.
	Guaranteed *float64 `json:"guaranteed,omitempty"`
	// Most is the largest cost. Absent: no bound.
	Most *float64 `json:"most,omitempty"`
}

// Cohort bounds what the servers of several shares may take together. What is due to them counts as taken.
type Cohort struct {
	// Name of the cohort.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// Shares that are its members, by name. A share may be of several cohorts, such as of one within another.
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	Shares []string `json:"shares"`
	// Cards by type. Types that are not named have no bound.
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=64
	// +optional
	Cards []CohortCards `json:"cards,omitempty"`
}

// CohortCards is a bound on cards of one type.
type CohortCards struct {
	// Type of card, as capacity counts it: an Accelerator's type, or its name where it has none.
	// +kubebuilder:validation:MinLength=1
	Type string `json:"type"`
	// Most is the largest number of cards.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000
	Most int `json:"most"`
}

// ShareStatus is what a plan gives a share.
type ShareStatus struct {
	// Name of the share.
	Name string `json:"name"`
	// Cards by type.
	// +listType=map
	// +listMapKey=type
	// +optional
	Cards []ShareCardsStatus `json:"cards,omitempty"`
	// Cost of what it has, in cents per hour.
	Cost float64 `json:"cost"`
	// PowerCap in watts, and Power that what it has draws at full; absent where there is no cap, or the power is not known.
	// +optional
	PowerCap *float64 `json:"powerCap,omitempty"`
	// +optional
	Power *float64 `json:"power,omitempty"`
}

// ShareCardsStatus is what a plan gives a share of one type of card.
type ShareCardsStatus struct {
	// Type of card.
	Type string `json:"type"`
	// Guaranteed cards, and Most; absent where there is no bound.
	Guaranteed int  `json:"guaranteed"`
	Most       *int `json:"most,omitempty"`
	// Used cards.
	Used int `json:"used"`
	// Due is what others have left to it: what its servers would use of its guarantee alone, and what it keeps.
	Due int `json:"due"`
	// Lent are the guaranteed cards that others may use now: those that it neither uses nor is due.
	Lent int `json:"lent"`
}
