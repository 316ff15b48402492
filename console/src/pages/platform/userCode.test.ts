import { expect, test } from "vitest";
import { userCode, type UserFields } from "./userCode";

test("a new user as a command, with what was filled in", () => {
  const same = userCode("ann", { email: "ann@example.org", platform_roles: ["key-admin", "auditor"] }, false);
  expect(same.command.join(" ")).toBe("aicp user create ann --email ann@example.org --role key-admin --role auditor");
  expect(same.body).toEqual({ name: "ann", email: "ann@example.org", platform_roles: ["key-admin", "auditor"] });
  expect(userCode("NAME", {}, false).command).toEqual(["aicp", "user", "create", "NAME"]);
});

test("a change says too what was taken away", () => {
  const same = userCode("ann", { email: "", platform_roles: [] }, true);
  expect(same.command).toEqual(["aicp", "user", "update", "ann", "--email", "", "--no-role"]);
  expect(same).toMatchObject({ method: "PATCH", path: "/api/v1/users/ann", body: { email: null, platform_roles: [] } });
});

test("a password that was typed stays out, and no document stands for a user", () => {
  const typed: UserFields & { password: string } = { password: "hidden", platform_roles: [] };
  for (const editing of [true, false]) {
    expect(JSON.stringify(userCode("ann", typed, editing))).not.toContain("hidden");
    expect(userCode("ann", typed, editing).document).toBeUndefined();
  }
});
