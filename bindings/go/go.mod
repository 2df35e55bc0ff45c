module github.com/trimtab/trimtab/bindings/go

// 1.24 brought what keeps a call cheap and safe: cgo's noescape, runtime.AddCleanup.
go 1.24
