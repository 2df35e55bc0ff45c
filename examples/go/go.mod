module github.com/trimtab/trimtab/examples/go

go 1.24

require github.com/trimtab/trimtab/bindings/go v0.0.0

replace github.com/trimtab/trimtab/bindings/go => ../../bindings/go
