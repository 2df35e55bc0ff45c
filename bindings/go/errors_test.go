package trimtab

import (
	"errors"
	"fmt"
	"testing"
)

func TestErrorsMatchByKind(t *testing.T) {
	sentinels := []error{
		ErrNull, ErrInvalidArgument, ErrExists, ErrNotFound, ErrCapacity, ErrNoBackend, ErrStalePick, ErrUTF8,
		ErrStructSize, ErrPanic, ErrClosed, ErrTimedOut, ErrIO, ErrConfig, ErrState, ErrForked,
		ErrUnsupported, ErrCorrupt,
	}
	for at, sentinel := range sentinels {
		err := fmt.Errorf("wrapped: %w", &Error{Code: Code(-1 - at), Operation: "pick", Detail: "why"})
		for other, candidate := range sentinels {
			if errors.Is(err, candidate) != (at == other) {
				t.Errorf("%v is %v: %v", err, candidate, at != other)
			}
		}
		if errors.Is(sentinel, err) {
			t.Errorf("%v is the narrower %v", sentinel, err)
		}
	}
}

func TestErrorsPrintInOneLine(t *testing.T) {
	for err, want := range map[*Error]string{
		{Code: CodeNoBackend, Operation: "pick", Detail: "no backend: the pool is empty"}: "trimtab: pick: no backend: the pool is empty",
		{Code: CodeNoBackend}:             "trimtab: TRIMTAB_E_NO_BACKEND",
		{Code: -99, Operation: "futures"}: "trimtab: futures: status -99",
	} {
		if err.Error() != want {
			t.Errorf("%q, expected %q", err, want)
		}
	}
}

func TestACodeNewerThanThisPackage(t *testing.T) {
	var err error = &Error{Code: -99, Operation: "pick", Detail: "something new"}
	var typed *Error
	if !errors.As(err, &typed) || typed.Code != -99 || !errors.Is(err, &Error{Code: -99}) || errors.Is(err, ErrPanic) {
		t.Errorf("%#v", err)
	}
}
