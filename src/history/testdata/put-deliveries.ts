/** Puts deliveries until it is killed, and says of each when it is stored: `node put-deliveries.ts FOLDER`. */
import { openHistory } from "../history.ts";

const history = await openHistory({ sqlite: { directory: process.argv[2]! } });
for (let group = 0; ; group++) {
  const ids = Array.from({ length: 8 }, (_, index) => `${group}-${index}`);
  await Promise.all(
    ids.map(async (delivery) => {
      await history.deliveries.put({ forge: "local", delivery, event: "push", headers: {}, body: Buffer.from(delivery) }, new Date(0));
      process.stdout.write(`${delivery}\n`);
    }),
  );
}
