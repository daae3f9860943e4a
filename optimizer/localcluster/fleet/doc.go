// Package fleet plays the model servers of a cluster whose pods do not really run.
//
// It watches the pods that carry the label of a Server. Every one that is Ready
// becomes a continuous-batching engine with the limits that its annotations give,
// as a container would read them through the downward API, and with the speed of
// its model on the accelerator of its node; where labels give it a role it computes
// prompts for others, or decodes. Recorded load arrives in real time at
// the gateways of the servers and is spread over their pods. Each pod has a page
// of metrics as vLLM would serve it, all of them behind one listener, which
// Prometheus finds through HTTP or file service discovery. A pod that is deleted
// gets no new requests and goes on with those it has until it is gone; what it has
// not finished by then starts over at others.
//
// The fleet holds nothing that outlives it: after a restart it finds the pods
// again, and their counters begin at zero as those of restarted containers do.
package fleet
