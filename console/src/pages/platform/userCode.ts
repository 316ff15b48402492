import type { Role } from "../../api/schema";
import type { Same } from "../../parts/Equivalent";

export interface UserFields {
  email?: string;
  platform_roles?: Role[];
}

/** What the dialog does to a user from outside the console; a password stays out of it. */
export function userCode(name: string, { email, platform_roles = [] }: UserFields, editing: boolean): Same {
  const roles = platform_roles.flatMap((role) => ["--role", role]);
  if (editing) return { command: ["aicp", "user", "update", name, "--email", email ?? "", ...(roles.length ? roles : ["--no-role"])], method: "PATCH", path: `/api/v1/users/${name}`, body: { email: email || null, platform_roles } };
  return { command: ["aicp", "user", "create", name, ...(email ? ["--email", email] : []), ...roles], method: "POST", path: "/api/v1/users", body: { name, ...(email ? { email } : {}), platform_roles } };
}
