import { App, Input, Modal } from "antd";
import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { problemText } from "./Feedback";

interface Props {
  name: string;
  title: string;
  consequence: ReactNode;
  action: string;
  /** Why it cannot be done now: then only this is shown, and nothing can be typed. */
  blocked?: ReactNode;
  open: boolean;
  onClose: () => void;
  onConfirm: () => Promise<unknown>;
}

/** Asks for the name of what is about to be destroyed and says what will happen. */
export function ConfirmName({ name, title, consequence, action, blocked, open, onClose, onConfirm }: Props) {
  const { t } = useTranslation();
  const { message } = App.useApp();
  const [typed, setTyped] = useState("");
  const [busy, setBusy] = useState(false);
  const confirm = async () => {
    setBusy(true);
    try {
      await onConfirm();
      onClose();
    } catch (error) {
      void message.error(problemText(error), 8);
    } finally {
      setBusy(false);
    }
  };
  return (
    <Modal title={title} open={open} onCancel={onClose} okText={action} cancelText={t("action.cancel")} okButtonProps={{ danger: true, disabled: Boolean(blocked) || typed !== name, loading: busy }} onOk={() => void confirm()} afterClose={() => setTyped("")} destroyOnHidden>
      <div className="stack wide">
        {blocked ? <div>{blocked}</div> : (
          <>
            <div className="confirm">{consequence}</div>
            <label className="stack">
              <span>{t("confirm.type", { name })}</span>
              <Input autoFocus value={typed} onChange={(event) => setTyped(event.target.value)} onPressEnter={() => { if (typed === name && !busy) void confirm(); }} autoComplete="off" />
            </label>
          </>
        )}
      </div>
    </Modal>
  );
}
