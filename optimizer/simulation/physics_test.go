package simulation

import (
	"math"
	"strings"
	"testing"
)

var (
	llama8B = Transformer{Parameters: 8.03e9, BytesPerParameter: 2, Layers: 32, Heads: 32, KVHeads: 8, HeadSize: 128}
	h100    = Hardware{Accelerators: 1, Memory: 85.9e9, Bandwidth: 3.35e12, Speed: 989e12}
)

func TestFromPhysics(t *testing.T) {
	law, cache, err := FromPhysics(llama8B, h100)
	if err != nil {
		t.Fatal(err)
	}
	// 131,072 bytes of KV cache a token; (0.9·85.9 − 16.06) GB of it in blocks of 16.
	if law.KVBytesPerToken != 131072 || cache.Blocks != 29206 || cache.BlockSize != 16 {
		t.Errorf("%v bytes a token, %+v; want 131072, 29206 blocks of 16", law.KVBytesPerToken, cache)
	}
	// Measured on this pair: about 7 ms between tokens of a single client.
	if itl := law.Seconds(Batch{Decodes: 1, DecodeContext: 1024}); math.Abs(itl-0.0073) > 0.0005 {
		t.Errorf("one decode takes %v s, want about 0.0073", itl)
	}
	two := h100
	two.Accelerators = 2
	if faster, larger, err := FromPhysics(llama8B, two); err != nil || faster.Bandwidth != 2*law.Bandwidth || larger.Blocks <= 2*cache.Blocks {
		t.Errorf("%+v, %+v, %v: want twice the bandwidth and more than twice the cache", faster, larger, err)
	}
}

func TestFromPhysicsRefuses(t *testing.T) {
	small := h100
	small.Memory = 16e9
	if _, _, err := FromPhysics(llama8B, small); err == nil || !strings.Contains(err.Error(), "do not fit") {
		t.Errorf("error %v, want that the weights do not fit", err)
	}
	_, _, err := FromPhysics(Transformer{Parameters: 1, ExpertParameters: 2, Heads: -1}, Hardware{Bandwidth: math.NaN()})
	for _, want := range []string{"bytesPerParameter: 0", "layers: 0", "heads: -1", "kvHeads: 0", "headSize: 0", "expertParameters 2",
		"accelerators: 0", "memory: 0", "bandwidth: NaN", "speed: 0"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error does not say %q:\n%v", want, err)
		}
	}
}
