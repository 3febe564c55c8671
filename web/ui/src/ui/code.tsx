const token = /(\/\/[^\n]*)|("[^"]*")|\b(import|from|const|await|func|return)\b/g;

/** A few lines of JavaScript or Go, with comments, texts and keywords told apart. */
export function Code({ text }: { text: string }) {
  const parts = [];
  let end = 0;
  for (const match of text.matchAll(token)) {
    const [whole, comment, literal] = match;
    parts.push(text.slice(end, match.index), <span class={comment ? 'comment' : literal ? 'literal' : 'keyword'}>{whole}</span>);
    end = match.index + whole.length;
  }
  return <>{parts}{text.slice(end)}</>;
}
