console.log(`given ${process.env.INPUT_TOKEN}`);
const made = ["made", "at", "run", "time"].join("-");
console.log(`::add-mask::${made}`);
console.log(`made ${made}`);
