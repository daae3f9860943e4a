package jsonspec

// Architecture are the numbers of a model that decide what an iteration reads and computes, under the names of Hugging Face config.json.
type Architecture struct {
	// Architectures are the implementing classes, for people.
	// +optional
	Architectures []string `json:"architectures,omitempty"`
	// +kubebuilder:validation:Minimum=1
	NumHiddenLayers int `json:"num_hidden_layers"`
	// +kubebuilder:validation:Minimum=1
	HiddenSize int `json:"hidden_size"`
	// IntermediateSize of the dense feed-forward layers.
	// +optional
	IntermediateSize int `json:"intermediate_size,omitempty"`
	// +kubebuilder:validation:Minimum=1
	NumAttentionHeads int `json:"num_attention_heads"`
	// NumKeyValueHeads defaults to numAttentionHeads.
	// +optional
	NumKeyValueHeads int `json:"num_key_value_heads,omitempty"`
	// HeadDim defaults to hiddenSize / numAttentionHeads.
	// +optional
	HeadDim int `json:"head_dim,omitempty"`
	// +optional
	VocabSize int `json:"vocab_size,omitempty"`
	// +optional
	TieWordEmbeddings bool `json:"tie_word_embeddings,omitempty"`

	// NumLocalExperts, NRoutedExperts and NumExperts are three names of the number of routed experts of a layer.
	// +optional
	NumLocalExperts int `json:"num_local_experts,omitempty"`
	// +optional
	NRoutedExperts int `json:"n_routed_experts,omitempty"`
	// +optional
	NumExperts int `json:"num_experts,omitempty"`
	// NumExpertsPerTok is the number of routed experts that serve one token.
	// +optional
	NumExpertsPerTok int `json:"num_experts_per_tok,omitempty"`
	// NSharedExperts serve every token.
	// +optional
	NSharedExperts int `json:"n_shared_experts,omitempty"`
	// MoEIntermediateSize of one expert; defaults to intermediateSize.
	// +optional
	MoEIntermediateSize int `json:"moe_intermediate_size,omitempty"`
	// FirstKDenseReplace is the number of leading layers that are dense.
	// +optional
	FirstKDenseReplace int `json:"first_k_dense_replace,omitempty"`

	// KVLoraRank is the rank of the latent of multi-head latent attention, 0 without.
	// +optional
	KVLoraRank int `json:"kv_lora_rank,omitempty"`
	// +optional
	QLoraRank int `json:"q_lora_rank,omitempty"`
	// +optional
	QKRopeHeadDim int `json:"qk_rope_head_dim,omitempty"`
	// +optional
	QKNopeHeadDim int `json:"qk_nope_head_dim,omitempty"`
	// +optional
	VHeadDim int `json:"v_head_dim,omitempty"`
}
