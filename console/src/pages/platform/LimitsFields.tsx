import { Form, InputNumber } from "antd";
import { useTranslation } from "react-i18next";
import { useCurrency } from "../../queries/prices";
import { isBudget, LIMITS } from "./limitValues";

/** Limits of a key, a project or an organization, in a form that calls them `limits`. */
export function LimitsFields() {
  const { t } = useTranslation();
  const currency = useCurrency();
  return (
    <>
      <p className="small quiet" style={{ marginTop: 0 }}>{t("limits.hint")}</p>
      <div className="pair">
        {LIMITS.map((name) => (
          <Form.Item key={name} name={["limits", name]} label={t(`limits.${name}`)}>
            {isBudget(name) ? <InputNumber min={0.000001} max={1e9} suffix={currency} style={{ width: "100%" }} placeholder={t("limits.none")} /> : <InputNumber min={1} precision={0} style={{ width: "100%" }} placeholder={t("limits.none")} />}
          </Form.Item>
        ))}
      </div>
    </>
  );
}
