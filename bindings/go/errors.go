package trimtab

import "strconv"

// Code says what kind of failure an Error is. Match errors with errors.Is and the Err variables rather
// than codes; a code newer than this package is still an Error, and prints as its number.
type Code int32

// The codes, as the C interface numbers them.
const (
	// CodeNull: a null pointer reached the library; from Go, a Pool that NewPool did not make, a Server that
	// NewServer did not, or a Store that OpenStore did not.
	CodeNull            Code = -1
	CodeInvalidArgument Code = -2
	CodeExists          Code = -3
	CodeNotFound        Code = -4
	CodeCapacity        Code = -5
	CodeNoBackend       Code = -6
	CodeStalePick       Code = -7
	CodeUTF8            Code = -8
	// CodeStructSize: this package and the library it is linked with do not fit together.
	CodeStructSize  Code = -9
	CodePanic       Code = -10
	CodeClosed      Code = -11
	CodeTimedOut    Code = -12
	CodeIO          Code = -13
	CodeConfig      Code = -14
	CodeState       Code = -15
	CodeForked      Code = -16
	CodeUnsupported Code = -17
	CodeCorrupt     Code = -18
	// CodeNotPrimary and the next three are of clusters.
	CodeNotPrimary     Code = -20
	CodeNoQuorum       Code = -21
	CodeSuperseded     Code = -22
	CodeUnknownOutcome Code = -23
)

// String gives the code's name in the C interface, or its number when the library does not know it.
func (c Code) String() string {
	if name := statusName(c); name != "" {
		return name
	}
	return "status " + strconv.Itoa(int(c))
}

// Error is what every failing call gives: what kind, of which operation, and the library's own words.
type Error struct {
	Code      Code
	Operation string
	Detail    string
}

// What errors.Is matches an Error with.
var (
	ErrNull            error = &Error{Code: CodeNull}
	ErrInvalidArgument error = &Error{Code: CodeInvalidArgument} // out of range, or does not parse
	ErrExists          error = &Error{Code: CodeExists}          // the name or address is in the pool
	ErrNotFound        error = &Error{Code: CodeNotFound}        // nothing of this name or number (any more)
	ErrCapacity        error = &Error{Code: CodeCapacity}        // a named limit is reached
	ErrNoBackend       error = &Error{Code: CodeNoBackend}       // nobody may take the connection now
	ErrStalePick       error = &Error{Code: CodeStalePick}       // reported done before, or of another pool
	ErrUTF8            error = &Error{Code: CodeUTF8}            // a name or address is not UTF-8
	ErrStructSize      error = &Error{Code: CodeStructSize}
	ErrPanic           error = &Error{Code: CodePanic}       // a bug in the library; what it happened to can only be closed
	ErrClosed          error = &Error{Code: CodeClosed}      // after Close, or after a panic
	ErrTimedOut        error = &Error{Code: CodeTimedOut}    // what was waited for goes on
	ErrIO              error = &Error{Code: CodeIO}          // the system refused something
	ErrConfig          error = &Error{Code: CodeConfig}      // a configuration that cannot be
	ErrState           error = &Error{Code: CodeState}       // started twice, turned after its end, opened already
	ErrForked          error = &Error{Code: CodeForked}      // made before a fork, by the parent
	ErrUnsupported     error = &Error{Code: CodeUnsupported} // of a kind this release does not know
	ErrCorrupt         error = &Error{Code: CodeCorrupt}     // data on disk are not what was written
	ErrNotPrimary      error = &Error{Code: CodeNotPrimary}  // the detail names who is, where that is known
	ErrNoQuorum        error = &Error{Code: CodeNoQuorum}    // no primary holds a quorum; nothing was done
	ErrSuperseded      error = &Error{Code: CodeSuperseded}  // another primary took over; it was not done
	// ErrUnknownOutcome: a write may have been done, or a change of a cluster; the same as ErrOutcomeUnknown.
	ErrUnknownOutcome error = &Error{Code: CodeUnknownOutcome}
)

// Error is one line: the operation, then the detail.
func (e *Error) Error() string {
	text := "trimtab: "
	if e.Operation != "" {
		text += e.Operation + ": "
	}
	if e.Detail != "" {
		return text + e.Detail
	}
	return text + e.Code.String()
}

// Is reports whether target is an Error of the same code that names no operation or detail of its own.
func (e *Error) Is(target error) bool {
	other, ok := target.(*Error)
	return ok && other.Code == e.Code && other.Operation == "" && other.Detail == ""
}
