import { useState } from "react";
import { useTranslation } from "react-i18next";
import { api, need } from "../../api/client";
import type { ApiKey } from "../../api/schema";
import { ConfirmName } from "../../parts/ConfirmName";
import { useAction } from "../../queries/action";

/** Ends keys for good: one is confirmed by its name, several by their number. */
export function RevokeKeys({ keys, onDone, onClose }: { keys: ApiKey[]; onDone?: () => void; onClose: () => void }) {
  const { t } = useTranslation();
  // What was asked for stays readable while the dialog closes.
  const [shown, setShown] = useState(keys);
  if (keys.length > 0 && keys !== shown) setShown(keys);
  const revoke = useAction(async (ids: string[]) => {
    for (const id of ids) await need(api.DELETE("/api/v1/keys/{key_id}", { params: { path: { key_id: id } } }));
  }, ["key"], { silent: true, onDone });
  const [first] = shown;
  const one = shown.length === 1;
  return (
    <ConfirmName
      open={keys.length > 0}
      onClose={onClose}
      name={one ? (first?.name ?? "") : String(shown.length)}
      title={one ? t("keys.revokeTitle", { name: first?.name }) : t("keys.revokeMany", { count: shown.length })}
      consequence={<><p>{t("keys.revokeText")}</p>{!one && <ul style={{ maxHeight: 180, overflow: "auto" }}>{shown.map((key) => <li key={key.id}>{key.name} <span className="quiet mono small">{key.prefix}…</span></li>)}</ul>}</>}
      action={t("keys.revoke")}
      onConfirm={() => revoke.mutateAsync(shown.map((key) => key.id))}
    />
  );
}
