package control

import (
	"fmt"

	bolt "go.etcd.io/bbolt"
)

var eventsBucket = []byte("events")

// eventsKept is how many events of a kind are on disk: those of a kind that happens often push out none of another.
const eventsKept = 1000

// KeepEvents writes events down, as texts by their kind, each kind's oldest first.
func (j *Journal) KeepEvents(events map[string][][]byte) error {
	return j.db.Update(func(tx *bolt.Tx) error {
		for kind, texts := range events {
			for _, text := range texts[max(0, len(texts)-eventsKept):] {
				if err := appendTo(tx.Bucket(eventsBucket), []byte(kind), text, eventsKept); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// Events gives the texts of each kind that wanted holds, all kinds when it holds none, to use, the newest of a kind first, until it has enough of
// that kind. A text is valid until use returns.
func (j *Journal) Events(wanted []string, use func(kind string, text []byte) (more bool, err error)) error {
	err := j.db.View(func(tx *bolt.Tx) error {
		root := tx.Bucket(eventsBucket)
		var kinds [][]byte
		for _, kind := range wanted {
			kinds = append(kinds, []byte(kind))
		}
		if len(wanted) == 0 {
			err := root.ForEachBucket(func(kind []byte) error {
				kinds = append(kinds, kind)
				return nil
			})
			if err != nil {
				return err
			}
		}
		for _, kind := range kinds {
			b := root.Bucket(kind)
			if b == nil {
				continue
			}
			c := b.Cursor()
			for k, v := c.Last(); k != nil; k, v = c.Prev() {
				if more, err := use(string(kind), v); err != nil {
					return err
				} else if !more {
					break
				}
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("reading what happened: %w", err)
	}
	return nil
}
