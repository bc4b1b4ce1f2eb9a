require("node:fs").appendFileSync(process.env.INPUT_FILE, "text=of an input\n");
