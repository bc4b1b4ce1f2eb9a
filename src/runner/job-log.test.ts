import { expect, test } from "vitest";
import { createMask } from "../logs/masking.ts";
import { JobLog } from "./job-log.ts";

function open(values: string[] = []) {
  const mask = createMask(values);
  const stored: Buffer[] = [];
  const commands: [string, number][] = [];
  let broken: unknown;
  let refuses = false;
  const store = {
    append: (bytes: Uint8Array) => {
      if (refuses) throw new Error("no space");
      stored.push(Buffer.from(bytes));
      store.end += bytes.length;
    },
    end: 0,
  };
  const log = new JobLog({
    mask,
    store,
    onCommand: (line, logLine) => {
      commands.push([line, logLine]);
      const value = /^::add-mask::(.*)/.exec(line)?.[1];
      if (value) mask.add(value);
    },
    onBroken: (error) => (broken = error),
  });
  return {
    log,
    store,
    write: (text: string) => log.write(Buffer.from(text)),
    text: () => Buffer.concat(stored).toString(),
    commands,
    broken: () => broken,
    refuse: () => (refuses = true),
  };
}

test("our own lines stand on lines of their own, and lines are counted", () => {
  const { log, write, text } = open();
  expect(log.nextLine).toBe(1);
  log.say("step one");
  write("a\nb");
  expect(log.nextLine).toBe(3);
  log.say("step two\nand more");
  expect(text()).toBe("» step one\na\nb\n» step two\n» and more\n");
  expect(log.nextLine).toBe(6);
});

test("a prompt is stored at once, a secret never, wherever it is cut", () => {
  const { log, write, text } = open(["hunter22"]);
  write("Name: ");
  expect(text()).toBe("Name: ");
  write("hun");
  write("ter22 and hunt");
  expect(text()).toBe("Name: *** and ");
  log.endOutput();
  expect(text()).toBe("Name: *** and hunt\n");
  log.say("hunter22 in a name");
  expect(text()).toMatch(/» \*\*\* in a name\n$/);
});

test("a value is masked in the line that says so", () => {
  const { write, text } = open();
  write("opensesame\n::add-mask::opensesame\nopensesame\n");
  expect(text()).toBe("opensesame\n::add-mask::***\n***\n");
});

test("a command is told with the line that it stands in", () => {
  const { log, write, commands } = open();
  log.say("step");
  write("one\n::error::x\n  ::notice::y\r\nlast\n::debug::z");
  log.endOutput();
  expect(commands).toEqual([
    ["::error::x", 3],
    ["::notice::y", 4],
    ["::debug::z", 6],
  ]);
});

test("at its bound it says so once, and keeps our own lines alone", () => {
  const { log, write, text, store } = open();
  store.end = 4 * 1024 ** 3 - 2;
  write("abc\ndef\n");
  write("more\n");
  log.say("exit code 1");
  expect(text()).toBe("abc\ndef\n\n» the log has reached 4 GiB: what steps print from here on is not kept\n» exit code 1\n");
});

test("a disk that refuses is told once, and the log goes on without", () => {
  const { log, write, text, broken, refuse } = open();
  write("kept\n");
  refuse();
  write("lost\n");
  log.say("lost too");
  expect(text()).toBe("kept\n");
  expect(broken()).toMatchObject({ message: "no space" });
});
