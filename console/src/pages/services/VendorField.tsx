import { useQuery } from "@tanstack/react-query";
import { Form, Select } from "antd";
import { useTranslation } from "react-i18next";
import { poolViewQuery } from "../../queries/pools";

/** Only accelerators of one vendor, of those that the pool has. */
export function VendorField({ pool }: { pool: string }) {
  const { t } = useTranslation();
  const view = useQuery({ ...poolViewQuery(pool), enabled: Boolean(pool) });
  const vendors = new Set(view.data?.nodes.flatMap((node) => node.devices.map((device) => device.vendor)));
  return (
    <Form.Item name="vendor" label={t("nodes.vendor")} extra={t("publish.vendorHint")}>
      <Select allowClear placeholder={t("publish.automatic")} options={[...vendors].sort().map((vendor) => ({ value: vendor, label: vendor }))} />
    </Form.Item>
  );
}
