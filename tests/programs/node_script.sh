# A large multi-threaded program with a compiler of its own.
node -e '
const fs = require("fs"), { execFileSync } = require("child_process"), { Worker } = require("worker_threads");
fs.writeFileSync("out", "x".repeat(100000)); console.log(fs.statSync("out").size, fs.readdirSync("."));
console.log(execFileSync("echo", ["child"]).toString().trim());
console.log(require("crypto").createHash("sha256").update("abc").digest("hex"));
setTimeout(() => console.log("timer"), 10);
new Worker("require(\"worker_threads\").parentPort.postMessage(6 * 7)", { eval: true }).on("message", m => console.log("worker", m)).on("exit", () => {
  require("zlib").gzip("data".repeat(1000), (e, b) => console.log(b.length < 100));
});
'
