import { QueryClient } from "@tanstack/react-query";
import { expect, test, vi } from "vitest";
import type { Session } from "../api/schema";

const as = (name: string) => ({ user: { name } }) as Session;

test("it is told when the user is gone, not when the same session is read again", async () => {
  vi.stubGlobal("window", { location: { origin: "http://platform" } });
  const { onUserGone, sessionQuery } = await import("./session");
  const client = new QueryClient();
  const gone = vi.fn();
  const end = onUserGone(client, gone);
  const say = (session: Session | null) => client.setQueryData(sessionQuery.queryKey, session);
  say(as("ann"));
  say(as("ann"));
  client.setQueryData(["other"], 1);
  expect(gone).toHaveBeenCalledTimes(0);
  say(null);
  expect(gone).toHaveBeenCalledTimes(1);
  say(as("ann"));
  say(as("bob"));
  expect(gone).toHaveBeenCalledTimes(2);
  client.clear();
  expect(gone).toHaveBeenCalledTimes(3);
  end();
  vi.unstubAllGlobals();
});
