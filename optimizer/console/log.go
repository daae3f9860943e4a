package console

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/llm-inferno/inferno/optimizer/loop"
	"github.com/llm-inferno/inferno/optimizer/view"
)

const (
	// damagedShown is how many damaged lines of a log are said one by one.
	//
	// Tuned: lines; guard against a page of nothing else
	damagedShown = 5
	// followEvery is how often it is looked whether a log has grown.
	//
	// Tuned: s; guard against a disk that is asked all the time
	followEvery = time.Second
)

// Log is a decision log that is read into a store. Lines are read again when somebody looks at them.
type Log struct {
	path    string
	store   *Store
	offset  int64
	line    int
	damaged int
}

// OpenLog of a path; the file must be there.
func OpenLog(path string) (*Log, *Store, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = fmt.Errorf("%s is a directory, must be a decision log", path)
	}
	store := NewStore(Source{Kind: KindLog, Name: filepath.Base(path), Live: true}, 0)
	return &Log{path: path, store: store}, store, err
}

// Read what there is, then what is added, until the context ends. What cannot be read is said in the source.
func (l *Log) Read(ctx context.Context) {
	for {
		if err := l.readOn(ctx); err != nil && ctx.Err() == nil {
			l.say(err.Error())
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(followEvery):
		}
	}
}

// say what is missing; the same once.
func (l *Log) say(text string) {
	l.store.Say(func(s *Source) {
		for _, m := range s.Unread {
			if m == text {
				return
			}
		}
		s.Unread = append(s.Unread, text)
	})
}

// readOn reads whole lines from where it was. A last line without an end is still being written.
func (l *Log) readOn(ctx context.Context) error {
	f, err := os.Open(l.path)
	if err != nil {
		return err
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() < l.offset {
		return errors.New("the log has become shorter: what is shown is of before")
	}
	if _, err := f.Seek(l.offset, io.SeekStart); err != nil {
		return err
	}
	r := bufio.NewReaderSize(f, 1<<20)
	for ctx.Err() == nil {
		line, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return l.unfinished(line)
		}
		if err != nil {
			return err
		}
		at := l.offset
		l.offset += int64(len(line))
		l.line++
		l.take(at, line)
	}
	return nil
}

// unfinished is the last line where the log is not written to any more: a whole record without an end is one.
func (l *Log) unfinished(line []byte) error {
	if len(bytes.TrimSpace(line)) == 0 || !json.Valid(line) {
		return nil
	}
	at := l.offset
	l.offset += int64(len(line))
	l.line++
	l.take(at, line)
	return nil
}

func (l *Log) take(at int64, line []byte) {
	if len(bytes.TrimSpace(line)) == 0 {
		return
	}
	c, err := decode(line)
	if err != nil {
		if l.damaged++; l.damaged <= damagedShown {
			l.say(fmt.Sprintf("line %d is left out: %v", l.line, err))
		} else if l.damaged == damagedShown+1 {
			l.say("further lines are left out, too")
		}
		return
	}
	size := len(line)
	l.store.add(c, func() (*view.Cycle, error) {
		f, err := os.Open(l.path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		again := make([]byte, size)
		if _, err := f.ReadAt(again, at); err != nil {
			return nil, err
		}
		return decode(again)
	})
}

// decode a line of a decision log.
func decode(line []byte) (*view.Cycle, error) {
	var r loop.Record
	if err := json.Unmarshal(line, &r); err != nil {
		return nil, fmt.Errorf("no record of a cycle: %w", err)
	}
	if r.Decision == nil || r.ID == "" {
		return nil, errors.New("no record of a cycle: it has no id, or no plan")
	}
	return FromRecord(&r), nil
}
