module seatrial.dev/examples/multicluster

go 1.24
