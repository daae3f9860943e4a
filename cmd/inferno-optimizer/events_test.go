package main

import (
	"strings"
	"testing"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/events"
)

// Whatever is to be said, the API server takes the event.
func TestNotesAreShortEnough(t *testing.T) {
	for _, text := range []string{"short", strings.Repeat("x", longestNote), strings.Repeat("x", longestNote+1), strings.Repeat("é", longestNote), "x" + strings.Repeat("…", longestNote)} {
		recorder := events.NewFakeRecorder(1)
		brief{recorder}.Eventf(&corev1.Pod{}, nil, "Normal", "Reason", "Action", "%s", text)
		note := strings.TrimPrefix(<-recorder.Events, "Normal Reason ")
		if !utf8.ValidString(note) || len(note) > longestNote {
			t.Errorf("%.20s of %d bytes: the note has %d, %q at its end", text, len(text), len(note), note[max(0, len(note)-10):])
		}
		if whole := note == text; whole != (len(text) <= longestNote) || !strings.HasPrefix(text, strings.TrimSuffix(note, "…")) {
			t.Errorf("%.20s of %d bytes: the note is %.20s, of %d", text, len(text), note, len(note))
		}
	}
}
