module seatrial.dev/examples/app

go 1.24
