package main

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
)

// longestNote is the number of bytes of an event's note that the API server takes (NoteLengthLimit of k8s.io/kubernetes/pkg/apis/core/validation): it
// refuses events with a longer one.
const longestNote = 1024

// brief records events with notes that are short enough. Conditions have the whole of what is wrong.
type brief struct{ events.EventRecorder }

// Eventf implements [events.EventRecorder].
func (b brief) Eventf(regarding, related runtime.Object, kind, reason, action, note string, args ...any) {
	b.EventRecorder.Eventf(regarding, related, kind, reason, action, "%s", shorten(fmt.Sprintf(note, args...)))
}

// shorten a text to a note, between two characters.
func shorten(text string) string {
	const more = "…"
	if len(text) <= longestNote {
		return text
	}
	return strings.ToValidUTF8(text[:longestNote-len(more)], "") + more
}
