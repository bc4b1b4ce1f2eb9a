/** Numbers of ports. */
import { SeatrialError } from "../base/errors.ts";

/** Ports come from Docker's answers and from documents; a wrong one must not reach a command line. */
export function checkPort(port: number): void {
  if (!Number.isInteger(port) || port < 1 || port > 65_535) throw new SeatrialError("invalid", `${port} is not the number of a port`);
}
