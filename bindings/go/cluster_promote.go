package trimtab

import "context"

// Promoted is what a promotion by force came to.
type Promoted struct {
	Cluster    string   // the cluster's name
	Node       string   // the name of the node that is its primary now
	Generation uint64   // counts promotions by force
	Last       uint64   // the last entry that it has
	Out        []string // those that voted beside it, and must not run any more
	Learners   []string // those that follow it
}

// PromoteDirectory makes the node whose directory this is the primary of its cluster, by force, with what is in it: it
// alone votes from now on, learners follow it, and all others that voted are out, together with what they had and this
// one has not. For when they are gone for good. Nobody may have the directory open; it is opened as ever then.
// DirectoryPromoted does the same as the store is opened, and does not say who is out. It holds a thread; when ctx is
// done first it returns ctx.Err(), and that goes on.
//
// ErrState when somebody has it open, ErrInvalidArgument when it is no member's or that of a node that was taken out, and
// what OpenStore returns.
func PromoteDirectory(ctx context.Context, path string) (Promoted, error) {
	return aside(ctx, func() (Promoted, error) { return promoteDirectory(path) })
}
