package trimtab

import (
	"context"
	"runtime"
)

const opOutcome = "outcome"

// RequestState is what came of a request.
type RequestState int32

const (
	RequestApplied    RequestState = 1 // it was done
	RequestNotApplied RequestState = 2 // it was not, as of now; one that is still under way may be done later
	RequestForgotten  RequestState = 3 // that is not known any more
)

// RequestOutcome is what Outcome tells.
type RequestOutcome struct {
	State RequestState
	// Result is what its retry would get; nothing unless it was applied.
	Result Result
}

// Outcome tells what came of a request, without sending it again: whether it was applied, and then what its retry would get;
// or not, as of now: it was refused, was lost, or has not come yet; or that this is forgotten, since its number is too far
// below the client's highest, or nothing is remembered of the client where others may have been forgotten. Every write that
// was answered at DurabilityQuorum before is seen.
//
// In a cluster the primary is asked, for as long as ctx allows; what is applied stays, and the result's Position is a place in
// the log that has it. When ctx is done first the error is ctx.Err(). ErrNotPrimary from a node that does not forward;
// ErrNoQuorum; ErrTimedOut. A store of one node does not
// wait, and says by Durability whether it is on its disk yet.
func (s *Store) Outcome(ctx context.Context, request Request) (RequestOutcome, error) {
	defer runtime.KeepAlive(s)
	core, err := s.reads(ctx, opOutcome)
	if err != nil {
		return RequestOutcome{}, err
	}
	if core.isMember {
		return s.outcomeOf(ctx, request)
	}
	outcome, err := core.native.outcome(request, 0)
	return outcome, core.closedNow(err)
}

// outcomeOf asks the primary.
func (s *Store) outcomeOf(ctx context.Context, request Request) (RequestOutcome, error) {
	what := awaited{what: awaitOutcome, start: request.Client[:], number: request.Number}
	told, err := s.readAwaited(ctx, opOutcome, what, freshness{})
	switch {
	case err != nil:
		return RequestOutcome{}, err
	case told.Repeated:
		return RequestOutcome{State: RequestApplied, Result: told}, nil
	case told.Done:
		return RequestOutcome{State: RequestNotApplied}, nil
	}
	return RequestOutcome{State: RequestForgotten}, nil
}
