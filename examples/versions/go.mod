module seatrial.dev/examples/versions

go 1.24
