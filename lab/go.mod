module seatrial.dev/lab

go 1.23
