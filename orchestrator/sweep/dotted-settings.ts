/** `settings.dropout: [0, 0.1]`, as reports name a setting of a script's own, is written for `settings: { dropout: [0, 0.1] }`. */
import { type Document, isMap, isScalar, Pair, Scalar, visit, YAMLMap } from "yaml";

const DOTTED = /^settings\.(.+)$/;

/** Puts such keys into their map `settings`, in place; every part keeps its place in the text. */
export function undotSettings(document: Document): void {
  visit(document, {
    Map(_, map) {
      for (const pair of map.items.filter(({ key }) => settingOf(key) !== undefined)) {
        const key = pair.key as Scalar;
        const home = map.get("settings", true) ?? newHome(map, key);
        if (!isMap(home)) continue;
        map.items.splice(map.items.indexOf(pair), 1);
        const name = new Scalar(settingOf(key));
        name.range = key.range ?? null;
        home.items.push(new Pair(name, pair.value));
      }
    },
  });
}

const settingOf = (key: unknown): string | undefined =>
  isScalar(key) && typeof key.value === "string" ? DOTTED.exec(key.value)?.[1] : undefined;

function newHome(map: YAMLMap, at: Scalar): YAMLMap {
  const home = new YAMLMap();
  home.range = at.range ?? null;
  const key = new Scalar("settings");
  key.range = at.range ?? null;
  map.items.push(new Pair(key, home));
  return home;
}
