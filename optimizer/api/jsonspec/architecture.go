package jsonspec

// Architecture are the numbers of a model that decide what an iteration reads and computes, under the names of Hugging Face config.json.
type Architecture struct {
	// Architectures are the implementing classes, for people.
	Architectures   []string `json:"architectures,omitempty"`
	NumHiddenLayers int      `json:"num_hidden_layers"`
	HiddenSize      int      `json:"hidden_size"`
	// IntermediateSize of the dense feed-forward layers.
	IntermediateSize  int `json:"intermediate_size,omitempty"`
	NumAttentionHeads int `json:"num_attention_heads"`
	// NumKeyValueHeads defaults to numAttentionHeads.
	NumKeyValueHeads int `json:"num_key_value_heads,omitempty"`
	// HeadDim defaults to hiddenSize / numAttentionHeads.
	HeadDim           int  `json:"head_dim,omitempty"`
	VocabSize         int  `json:"vocab_size,omitempty"`
	TieWordEmbeddings bool `json:"tie_word_embeddings,omitempty"`

	// NumLocalExperts, NRoutedExperts and NumExperts are three names of the number of routed experts of a layer.
	NumLocalExperts int `json:"num_local_experts,omitempty"`
	NRoutedExperts  int `json:"n_routed_experts,omitempty"`
	NumExperts      int `json:"num_experts,omitempty"`
	// NumExpertsPerTok is the number of routed experts that serve one token.
	NumExpertsPerTok int `json:"num_experts_per_tok,omitempty"`
	// NSharedExperts serve every token.
	NSharedExperts int `json:"n_shared_experts,omitempty"`
	// MoEIntermediateSize of one expert; defaults to intermediateSize.
	MoEIntermediateSize int `json:"moe_intermediate_size,omitempty"`
	// FirstKDenseReplace is the number of leading layers that are dense.
	FirstKDenseReplace int `json:"first_k_dense_replace,omitempty"`

	// KVLoraRank is the rank of the latent of multi-head latent attention, 0 without.
	KVLoraRank    int `json:"kv_lora_rank,omitempty"`
	QLoraRank     int `json:"q_lora_rank,omitempty"`
	QKRopeHeadDim int `json:"qk_rope_head_dim,omitempty"`
	QKNopeHeadDim int `json:"qk_nope_head_dim,omitempty"`
	VHeadDim      int `json:"v_head_dim,omitempty"`
}

// Experts that a layer routes to, by whichever of their names; 0 of a dense model.
func (a *Architecture) Experts() int { return max(a.NumExperts, a.NumLocalExperts, a.NRoutedExperts) }
