// Reads the description that is named, as somebody else's parser does, and says all
// that is wrong with it, warnings included.
import { Parser, fromFile } from '@asyncapi/parser';

const { document, diagnostics } = await fromFile(new Parser(), process.argv[2]).parse();
const wrong = diagnostics.filter((d) => d.severity <= 1);
for (const d of wrong) console.error(`${d.path.join('/')}: ${d.message}`);
if (!document || wrong.length > 0) process.exit(1);
console.log(document.version(), document.channels().length, document.messages().length);
