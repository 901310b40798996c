/** Commands as they are printed, to be typed again. */

/** Words that a shell would read otherwise are in quotes. */
export const shellLine = (words: readonly string[]): string => words.map(shellWord).join(" ");

export function shellWord(word: string): string {
  if (/^[\w@%+=:,./-]+$/.test(word)) return word;
  // What a shell would not read inside double quotes either is easier to read in them than with '\''.
  if (word.includes("'") && !/["$`\\!]/.test(word)) return `"${word}"`;
  return `'${word.replaceAll("'", "'\\''")}'`;
}
